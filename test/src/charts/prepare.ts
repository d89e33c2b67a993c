// Finds or builds the programs that the tests of the charts run, so that no test has to wait for a first build.
import { SetupError } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { findChartTools } from './chart-tools.js';

let told = performance.now();
const say = (text: string): void => {
  told = performance.now();
  process.stderr.write(`chart tools: ${text}\n`);
};

try {
  const tools = await findChartTools({
    env: readEnv(),
    progress: {
      note: say,
      update: (text) => {
        if (performance.now() - told > 15_000) say(text);
      },
    },
  });
  for (const [tool, path] of Object.entries(tools)) say(`${tool}: ${path}`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
