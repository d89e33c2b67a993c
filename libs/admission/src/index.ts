export {
  type Admission,
  AdmissionHandler,
  type AdmissionHandlerOptions,
  type JudgedKind,
  type Question,
  webhookPath,
} from './admission-handler.js';
export { AdmissionMetrics } from './admission-metrics.js';
export { type AdmissionRequest, ALLOWED, type Cause, type Denial, denied, failed, invalid, type Verdict } from './admission-review.js';
export { type AdmissionServer, type AdmissionServerOptions, startAdmissionServer } from './admission-server.js';
export { addFinalizer, finalizerCauses, hasFinalizer, isDeleting } from './finalizers.js';
export { isObject, type JsonObject, textAt, textsAt, valueAt } from './json-object.js';
export { JsonPatch, type PatchOperation } from './json-patch.js';
export { knownMetric } from './known-metric.js';
export { specCauses } from './spec-causes.js';
export { optionalWebhookSettings, WEBHOOK_FLAGS, webhookSettings, type WebhookSettings } from './webhook-flags.js';
export { webhookManifests, type WebhookManifestsOptions, type WebhookOfKind } from './webhook-manifests.js';
