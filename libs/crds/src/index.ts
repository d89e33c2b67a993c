export { Condition } from './condition.js';
export { clusterRoles, crdManifest } from './crd-manifests.js';
export { inDeployOrder, InvalidDeployOrderError, type Orderable, pinOf } from './deploy-order.js';
export { Email, EmailSpec, EmailStatus, EMAILS } from './email.js';
export { claimName, IsEmailAddress, normalizeEmail } from './email-address.js';
export { EMAIL_CLAIMS, EmailClaim, EmailClaimSpec } from './email-claim.js';
export { EMAIL_TEMPLATES, EmailTemplate, EmailTemplateSpec } from './email-template.js';
export { clusterRolesFile, crdFiles } from './gen-files.js';
export {
  DeadLetter,
  Delivery,
  HTTP_TRIGGERS,
  HTTPTrigger,
  HTTPTriggerSpec,
  RateLimit,
  RetryPolicy,
  WatchedResource,
} from './http-trigger.js';
export {
  BasicAuth,
  BearerAuth,
  BodySignature,
  HmacOptions,
  SecretKeyReference,
  ServiceUri,
  TargetService,
  TriggerAuth,
  TriggerBody,
  TriggerHeaders,
  TriggerTls,
  TriggerUrl,
} from './http-trigger-request.js';
export { DeliveryCounters, DeliveryError, HTTPTriggerStatus, TriggerCursor } from './http-trigger-status.js';
export { CustomObject, type SchemaClass } from './kind.js';
export { KIND_CLASSES, KINDS } from './kinds.js';
export * from './names.js';
export { openApiSchema, type OpenApiSchema } from './open-api-schema.js';
export { REGISTRATION_REQUESTS, RegistrationRequest, RegistrationRequestSpec, RegistrationRequestStatus } from './registration-request.js';
export { parseSecretReference, SECRET_REFERENCE, SECRET_SCHEME, type SecretReference } from './secret-reference.js';
export { Tenant, TENANTS, TenantSpec, TenantStatus } from './tenant.js';
export {
  CustomResourceMatcher,
  NamespaceMatcher,
  PrefixMatcher,
  RegexpMatcher,
  TOPOLOGY_CONFIGS,
  TopologyBackend,
  TopologyConfig,
  TopologyConfigSpec,
  TopologyPool,
  TopologyTls,
} from './topology-config.js';
export { AbandonedData, BackendUsage, MAX_BACKENDS, TopologyConfigStatus } from './topology-config-status.js';
export { User, USERS, UserSpec, UserStatus } from './user.js';
export { type FieldError, unknownFields, type ValidateOptions, validateSpec } from './validate-spec.js';
