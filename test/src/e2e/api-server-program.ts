/** The aggregated API server in a process of its own. Its arguments are those of the program. */
import { apiServerProgram } from '@harikube/api-server';
import { readEnv, runServices } from '@harikube/platform';

const env = { ...readEnv(), KUBECONFIG: '', POD_NAMESPACE: '' };
await runServices([apiServerProgram.prepare(process.argv.slice(2), env)]);
process.send?.('started');
