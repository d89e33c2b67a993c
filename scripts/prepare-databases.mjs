// Finds or unpacks the database servers that tests start, and makes the templates of their data folders, so that no test has to wait for a
// download. Runs on Node 24 after the set-up.
import process from 'node:process';
import { startMariadb, startPostgres } from '../libs/testing/dist/index.js';

const started = performance.now();
const say = (text) => process.stderr.write(`databases: ${text} (${Math.round((performance.now() - started) / 1000)} s)\n`);

const servers = [
  ['PostgreSQL', startPostgres],
  ['MariaDB', startMariadb],
];
for (const [name, start] of servers) {
  try {
    const server = await start({ isDurable: false });
    await server.stop();
    say(`${name} starts`);
  } catch (error) {
    process.stderr.write(`databases: ${name} cannot be had: ${error.message}\n`);
    process.exitCode = 1;
  }
}
