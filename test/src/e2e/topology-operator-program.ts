/** The topology-operator in a process of its own, for tests that kill it. Its arguments are its flags. */
import { readEnv, runServices } from '@harikube/platform';
import { topologyOperatorProgram } from '@harikube/topology-operator';

await runServices([topologyOperatorProgram.prepare(process.argv.slice(2), { ...readEnv(), KUBECONFIG: '', POD_NAMESPACE: '' })]);
process.send?.('started');
