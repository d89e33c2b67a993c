// Writes gen/: the CustomResourceDefinition of each kind, and the roles of all.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { clusterRoles, crdManifest } from './crd-manifests.js';
import { clusterRolesFile, crdFiles } from './gen-files.js';
import { KIND_CLASSES } from './kinds.js';

const HEADER = '# Generated from libs/crds/src by `npm run generate`: change the class, not this file.\n';

const yaml = (value: object): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });

const definitions = KIND_CLASSES.map((kind) => yaml(crdManifest(kind)));
const files = new Map(crdFiles().map((path, index) => [path, `${HEADER}${definitions[index]}`]));
files.set(clusterRolesFile(), HEADER + KIND_CLASSES.flatMap(clusterRoles).map(yaml).join('---\n'));

const folder = dirname(clusterRolesFile());
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (!files.has(join(folder, name))) rmSync(join(folder, name));
for (const [path, text] of files) writeFileSync(path, text);
