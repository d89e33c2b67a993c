import { afterAll } from '@jest/globals';
import { describeBackend } from './describe-backend.js';
import { EtcdDatabases, openEtcd } from './etcd-databases.js';

// etcd tells the size of its data as its file has it, which is otherwise written every 100 ms.
const databases = new EtcdDatabases({ isDurable: false, flags: { 'backend-batch-limit': '1' } });

afterAll(() => databases.close());

describeBackend('EtcdBackend', async () => {
  const url = await databases.create();
  return { open: () => openEtcd(url), remove: () => Promise.resolve(), allowsSecondWriter: true };
});
