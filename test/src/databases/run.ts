import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd, startMariadb, startPostgres } from '@harikube/testing';

/*
 * Databases for trying things out: a PostgreSQL, a MariaDB and an etcd with a topology for them, until Ctrl-C. What is in
 * them is gone then.
 */

const GROUP = 'product.webshop.harikube.info/v1';

async function main(): Promise<void> {
  const [argument] = process.argv.slice(2);
  if (argument !== undefined) {
    process.stderr.write(
      `npm run databases takes no arguments, and "${argument}" is one: it starts a PostgreSQL, a MariaDB and an etcd until Ctrl-C\n`,
    );
    process.exitCode = 2;
    return;
  }
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => resolve());
  });
  process.stdout.write('starting PostgreSQL, MariaDB and etcd; the first time they are unpacked or built, which takes minutes\n');
  const [postgres, mariadb, etcd] = await Promise.all([startPostgres(), startMariadb(), startEtcd()]);
  const folder = await mkdtemp(join(tmpdir(), 'harikube-databases-'));
  try {
    const file = join(folder, 'topology.yaml');
    const rules: [name: string, endpoint: string][] = [
      ['tenant', await postgres.createDatabase()],
      ['user', await mariadb.createDatabase()],
      ['email', 'sqlite://./email.db'],
    ];
    await writeFile(file, `backends:\n${rules.map(([name, endpoint]) => rule(name, endpoint)).join('')}`, { mode: 0o600 });
    process.stdout.write(
      [
        '',
        'Tenants in PostgreSQL, users in MariaDB, emails in SQLite, everything else in etcd. In another terminal:',
        '',
        `  npm run up -- --data ${join(folder, 'up')} --endpoint ${await etcd.createDatabase()} --topology ${file}`,
        '',
        'Ctrl-C ends the databases and removes what is in them.',
        '',
      ].join('\n'),
    );
    await stopped;
  } finally {
    await Promise.all([postgres.stop(), mariadb.stop(), etcd.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

function rule(name: string, endpoint: string): string {
  return `- name: ${name}\n  endpoint: "${endpoint}"\n  customresource: { group: ${GROUP}, kind: ${name}s }\n`;
}

await main();
