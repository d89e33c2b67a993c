export { admissionWebhookProgram } from './admission-webhook.js';
export { admissionWebhookManifests, type AdmissionWebhookManifestsOptions } from './manifests.js';
