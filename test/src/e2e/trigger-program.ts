/** The watch-trigger in a process of its own, for tests that kill it. Its arguments are its flags. */
import { readEnv, runServices } from '@harikube/platform';
import { watchTriggerProgram } from '@harikube/watch-trigger';

await runServices([watchTriggerProgram.prepare(process.argv.slice(2), { ...readEnv(), KUBECONFIG: '', POD_NAMESPACE: '' })]);
process.send?.('started');
