/** The admission webhook in a process of its own, whose memory a test asks for. Its arguments are those of the program. */
import { admissionWebhookProgram } from '@harikube/admission-webhook';
import { readEnv, runServices } from '@harikube/platform';

const env = { ...readEnv(), KUBECONFIG: '', POD_NAMESPACE: '' };
await runServices([admissionWebhookProgram.prepare(process.argv.slice(2), env)]);
process.on('message', () => process.send?.({ peakKib: process.resourceUsage().maxRSS }));
process.send?.('started');
