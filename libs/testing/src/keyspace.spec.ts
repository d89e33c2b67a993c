import { describeKeyspace } from './describe-keyspace.js';

describeKeyspace('memory', async () => ({ remove: async () => undefined }));
