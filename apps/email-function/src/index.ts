export { emailFunctionProgram } from './email-function.js';
export { emailFunctionManifests, type EmailFunctionManifestsOptions } from './manifests.js';
