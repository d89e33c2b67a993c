import { afterAll } from '@jest/globals';
import { readEnv } from '@harikube/platform';
import { describeKeyspace } from './describe-keyspace.js';
import { GivenMysqlDatabases, MariadbDatabases, type MysqlDatabases, openMysql } from './mariadb-databases.js';

function describeOn(name: string, databases: MysqlDatabases): void {
  afterAll(() => databases.close());

  describeKeyspace(name, () => {
    const urls = new Map<string, Promise<string>>();
    return Promise.resolve({
      open: async (backend) => {
        const url = urls.get(backend) ?? databases.create();
        urls.set(backend, url);
        return openMysql(await url, { name: backend });
      },
      remove: () => Promise.resolve(),
    });
  });
}

describeOn('MariaDB', new MariadbDatabases());

const { TEST_MYSQL_URL: given } = readEnv();
if (given !== undefined && given !== '') describeOn('MySQL', new GivenMysqlDatabases(given));
