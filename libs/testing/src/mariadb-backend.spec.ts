import { afterAll } from '@jest/globals';
import { readEnv } from '@harikube/platform';
import { describeBackend } from './describe-backend.js';
import { GivenMysqlDatabases, MariadbDatabases, type MysqlDatabases, openMysql } from './mariadb-databases.js';

function describeOn(name: string, databases: MysqlDatabases): void {
  afterAll(() => databases.close());

  describeBackend(name, async () => {
    const url = await databases.create();
    return { open: () => openMysql(url), remove: () => Promise.resolve(), allowsSecondWriter: true };
  });
}

const mariadb = new MariadbDatabases();
describeOn('MysqlBackend on MariaDB', mariadb);

const { TEST_MYSQL_URL: given } = readEnv();
if (given !== undefined && given !== '') describeOn('MysqlBackend on MySQL', new GivenMysqlDatabases(given));
