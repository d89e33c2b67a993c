/** The three controllers in one process, for tests that kill it. Its arguments are a JSON object: the flags of each by its name. */
import { runServices, readEnv } from '@harikube/platform';
import { registrationControllerProgram } from '@harikube/registration-controller';
import { tenantControllerProgram } from '@harikube/tenant-controller';
import { userControllerProgram } from '@harikube/user-controller';

const flags = JSON.parse(process.argv[2] ?? '{}') as Readonly<Record<string, readonly string[]>>;
const programs = [registrationControllerProgram, tenantControllerProgram, userControllerProgram];
const env = { ...readEnv(), KUBECONFIG: '', POD_NAMESPACE: '' };
await runServices(programs.map((program) => program.prepare(flags[program.name] ?? [], env)));
process.send?.('started');
