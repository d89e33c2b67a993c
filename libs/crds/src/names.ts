/** The group and version of the kinds that are stored. */
export const GROUP = 'product.webshop.harikube.info';
export const VERSION = 'v1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** The group of what the aggregated API server answers. */
export const AGGREGATED_GROUP = `api.${GROUP}`;
export const AGGREGATED_API_VERSION = `${AGGREGATED_GROUP}/${VERSION}`;

/** The group of the kinds that send what happens to objects elsewhere. */
export const TRIGGERS_GROUP = 'triggers.harikube.info';

/** The group of the kinds that say where data is stored. */
export const TOPOLOGY_GROUP = 'harikube.info';

/** The Secret that rules are merged into where a TopologyConfig names none. */
export const DEFAULT_TARGET_SECRET = 'harikube/topology-config';

/** On a TopologyConfig: its place among those of the target, as a whole number. Those without one come after those with one. */
export const DEPLOY_ORDER_ANNOTATION = `${TOPOLOGY_GROUP}/deployOrder`;
/** On a TopologyConfig: `<backend>` or `<backend>=<keys>`, of which the data is given up. */
export const ABANDON_DATA_ANNOTATION = `${TOPOLOGY_GROUP}/abandon-data`;
/** On a TopologyConfig whose rules may be in force, and on the Secret that the rules are merged into. */
export const TOPOLOGY_FINALIZER = `${TOPOLOGY_GROUP}/finalizer`;

/** Conditions of a TopologyConfig, in the order in which they become true. */
export const TOPOLOGY_CONDITIONS = { valid: 'Valid', merged: 'Merged', active: 'Active' } as const;

/** Namespace of the platform where nothing else names one. */
export const PLATFORM_NAMESPACE = 'harikube-system';

/** On everything that is made for a registration; the value is the name of the Tenant. */
export const TENANT_LABEL = `${GROUP}/tenant`;
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'harikube';

/** On everything that is made for a registration; the value is the name of the RegistrationRequest. */
export const REGISTRATION_ANNOTATION = `${GROUP}/registration`;
/** On a RegistrationRequest that came by the aggregated API: who asked there, and waits for the result. */
export const REQUESTED_BY_ANNOTATION = `${GROUP}/requested-by`;
/** On a User: a password hash that the user-controller moves into the Secret of the User. */
export const PASSWORD_ANNOTATION = `${GROUP}/password`;

export const TENANT_FINALIZER = `${GROUP}/tenant`;
export const REGISTRATION_FINALIZER = `${GROUP}/registration`;

/** Key of the password hash in the Secret of a User. */
export const PASSWORD_SECRET_KEY = 'hash';

/** The EmailTemplate of the welcome mail, in the namespace of the platform. */
export const REGISTRATION_EMAIL_TEMPLATE = 'example-webshop-service-registration';

/** Condition of a Tenant and of a User: what belongs to it is there. */
export const READY = 'Ready';

/** Conditions of a RegistrationRequest, in the order in which they become true; `Failed` instead of `Complete` when it cannot succeed. */
export const REGISTRATION_CONDITIONS = {
  claimed: 'Claimed',
  tenantReady: 'TenantReady',
  userReady: 'UserReady',
  emailCreated: 'EmailCreated',
  complete: 'Complete',
  failed: 'Failed',
} as const;

/** Reasons of the condition `Failed` of a RegistrationRequest. */
export const FAILED_REASONS = {
  emailTaken: 'EmailTaken',
  invalidSpec: 'InvalidSpec',
  namespaceConflict: 'NamespaceConflict',
  cancelled: 'Cancelled',
  internal: 'Internal',
} as const;

export type FailedReason = (typeof FAILED_REASONS)[keyof typeof FAILED_REASONS];

/** Reasons of the condition `EmailCreated` being False: the registration goes on without a mail. */
export const EMAIL_REASONS = { templateNotFound: 'TemplateNotFound', templateInvalid: 'TemplateInvalid' } as const;
