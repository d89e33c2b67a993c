// Finds, downloads or builds the Kubernetes programs that the process tests run, so that no test has to wait minutes for a first build. Runs on
// Node 24 after the set-up. A second one waits for the first.
import process from 'node:process';
import { Binaries, PROGRAMS } from '../libs/local-cluster/dist/index.js';

const started = performance.now();
let told = started;
const say = (text) => {
  told = performance.now();
  process.stderr.write(`binaries: ${text} (${Math.round((told - started) / 1000)} s)\n`);
};
const progress = {
  note: say,
  update: (text) => {
    if (performance.now() - told > 15_000) say(text);
  },
};

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => ending.abort(new Error(`ended by ${signal}`)));

try {
  const found = await new Binaries({ env: process.env, progress }).find(PROGRAMS, ending.signal);
  say(PROGRAMS.map((program) => `${program} from ${found[program].source}`).join(', '));
} catch (error) {
  process.stderr.write(`binaries: ${error.message}\n`);
  process.exitCode = 1;
}
