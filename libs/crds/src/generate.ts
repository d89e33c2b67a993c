// Writes gen/: the CustomResourceDefinition of each kind, and the roles of all.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { clusterRoles, clusterRolesFile, crdFiles, crdManifest } from './crd-manifests.js';
import { Email } from './email.js';
import { EmailClaim } from './email-claim.js';
import { EmailTemplate } from './email-template.js';
import { kindOptions } from './kind.js';
import { RegistrationRequest } from './registration-request.js';
import { Tenant } from './tenant.js';
import { User } from './user.js';

const HEADER = '# Generated from libs/crds/src by `npm run generate`: change the class, not this file.\n';
const kinds = [RegistrationRequest, Tenant, User, Email, EmailTemplate, EmailClaim];

const yaml = (value: object): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });

const files = new Map(kinds.map((kind) => [`${kindOptions(kind)?.plural}.yaml`, HEADER + yaml(crdManifest(kind))]));
files.set(basename(clusterRolesFile()), HEADER + kinds.flatMap(clusterRoles).map(yaml).join('---\n'));

const promised = [...crdFiles(), clusterRolesFile()].map((path) => basename(path)).sort();
const made = [...files.keys()].sort();
if (promised.join() !== made.join()) throw new Error(`crdFiles() names ${promised.join(', ')}, and the kinds make ${made.join(', ')}`);

const folder = dirname(clusterRolesFile());
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (!files.has(name)) rmSync(join(folder, name));
for (const [name, text] of files) writeFileSync(join(folder, name), text);
