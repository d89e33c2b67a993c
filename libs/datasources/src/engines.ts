// What loads the drivers of databases: `Databases` loads it with the first one of its kind.
export { glanceAtMysql } from './dialects/mysql/glance-at-mysql.js';
export { MysqlBackend } from './dialects/mysql/mysql-backend.js';
export { glanceAtPostgres, PostgresBackend } from './dialects/postgres/postgres-backend.js';
export { SqliteBackend } from './dialects/sqlite/sqlite-backend.js';
export { StoreThreads } from './dialects/sqlite/store-threads.js';
export { adoptEtcd, type AdoptOptions, type AdoptReport, type EtcdProgress } from './etcd/adopt-etcd.js';
export { EtcdBackend, glanceAtEtcd } from './etcd/etcd-backend.js';
export { EtcdCallError, EtcdClient, type EtcdClientOptions } from './etcd/etcd-client.js';
export { leaveEtcd, type LeaveOptions, type LeaveReport } from './etcd/leave-etcd.js';
