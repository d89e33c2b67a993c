import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TopologyConfig } from '@harikube/crds';
import { parseAllDocuments } from 'yaml';
import { EXAMPLES } from './repository.js';

/** A database of its own for Tenants, Users and Emails each, for a start; they belong to whoever edits them. */
export function exampleTopologyConfigs(): TopologyConfig[] {
  const text = readFileSync(join(EXAMPLES, 'topologyconfigs.yaml'), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as TopologyConfig);
}
