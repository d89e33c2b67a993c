import { fileURLToPath } from 'node:url';
import { KINDS } from './kinds.js';

/** The files of the generated CustomResourceDefinitions, one per kind. */
export function crdFiles(): string[] {
  return KINDS.map(({ plural }) => genFile(plural));
}

/** The file of the generated ClusterRoles. */
export function clusterRolesFile(): string {
  return genFile('roles');
}

function genFile(name: string): string {
  return fileURLToPath(new URL(`../gen/${name}.yaml`, import.meta.url));
}
