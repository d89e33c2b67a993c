import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { fuzz, FUZZ_PARTS, type FuzzResult } from './fuzz.js';
import type { FuzzPart } from './fuzz-part.js';

const USAGE = `usage: node test/dist/fuzz/run.js [OPTION...]

  --only PART       ${FUZZ_PARTS.map(({ name, what }) => `${name}: ${what}`).join('\n                    ')}
  --seed N          of the first execution, those after it count up; default: from the time
  --seconds N       of each part; default: 60
  --executions N    of each part, at most
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    seconds: { type: 'string', default: '60' },
    executions: { type: 'string', default: 'Infinity' },
    help: { type: 'boolean', default: false },
  },
});
const [seed, seconds, executions] = [values.seed, values.seconds, values.executions].map(Number) as [number, number, number];
const parts = FUZZ_PARTS.filter(({ name }) => values.only === '' || name === values.only);
if (values.help || parts.length === 0 || !(seed >= 0 && seconds > 0 && executions > 0)) {
  process.stdout.write(USAGE);
  process.exitCode = values.help ? 0 : 2;
} else {
  for (const part of parts) {
    const result = await fuzz(part, { seed, seconds, executions });
    process.stdout.write(`${part.name}: ${result.executions} executions from seed ${seed} on${await told(part, result)}\n`);
    if (result.finding !== null) process.exitCode = 1;
  }
}

/** Writes the input of a finding to a file beside the word how to repeat it. */
async function told({ name }: FuzzPart, { finding }: FuzzResult): Promise<string> {
  if (finding === null) return ', nothing found';
  const file = `fuzz-${name}-${finding.seed}.txt`;
  const again = `node test/dist/fuzz/run.js --only ${name} --seed ${finding.seed} --executions 1`;
  await writeFile(file, `${finding.error.message}\n\nAgain: ${again}\n\nInput (hex):\n${finding.error.input.toString('hex')}\n`);
  return `\n${finding.error.message}\nthe input is in ${file}; again: ${again}`;
}
