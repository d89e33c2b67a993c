import type { Resource } from '@harikube/kube';
import { Email, EMAILS } from './email.js';
import { EmailClaim, EMAIL_CLAIMS } from './email-claim.js';
import { EMAIL_TEMPLATES, EmailTemplate } from './email-template.js';
import { HTTP_TRIGGERS, HTTPTrigger } from './http-trigger.js';
import type { SchemaClass } from './kind.js';
import { REGISTRATION_REQUESTS, RegistrationRequest } from './registration-request.js';
import { Tenant, TENANTS } from './tenant.js';
import { TOPOLOGY_CONFIGS, TopologyConfig } from './topology-config.js';
import { User, USERS } from './user.js';

/** The class of every kind, in the order of `KINDS`. */
export const KIND_CLASSES: readonly SchemaClass[] = [
  RegistrationRequest,
  Tenant,
  User,
  Email,
  EmailTemplate,
  EmailClaim,
  HTTPTrigger,
  TopologyConfig,
];

type AnyKind = RegistrationRequest | Tenant | User | Email | EmailTemplate | EmailClaim | HTTPTrigger | TopologyConfig;

/** Every kind, in an order in which what others belong to comes first. */
export const KINDS: readonly Resource<AnyKind>[] = [
  REGISTRATION_REQUESTS,
  TENANTS,
  USERS,
  EMAILS,
  EMAIL_TEMPLATES,
  EMAIL_CLAIMS,
  HTTP_TRIGGERS,
  TOPOLOGY_CONFIGS,
];
