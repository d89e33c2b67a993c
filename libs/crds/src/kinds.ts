import { type Email, EMAILS } from './email.js';
import { type EmailClaim, EMAIL_CLAIMS } from './email-claim.js';
import { EMAIL_TEMPLATES, type EmailTemplate } from './email-template.js';
import type { Resource } from './kind.js';
import { REGISTRATION_REQUESTS, type RegistrationRequest } from './registration-request.js';
import { type Tenant, TENANTS } from './tenant.js';
import { type User, USERS } from './user.js';

type AnyKind = RegistrationRequest | Tenant | User | Email | EmailTemplate | EmailClaim;

/** Every kind, in an order in which what others belong to comes first. */
export const KINDS: readonly Resource<AnyKind>[] = [REGISTRATION_REQUESTS, TENANTS, USERS, EMAILS, EMAIL_TEMPLATES, EMAIL_CLAIMS];
