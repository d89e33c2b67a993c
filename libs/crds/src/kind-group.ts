import { GROUP, TOPOLOGY_GROUP, TRIGGERS_GROUP } from './names.js';

/** What the kinds of one API group have in common. */
export interface KindGroup {
  readonly name: string;
  /** All of them are in this category: `kubectl get webshop -A`. Not in `all`: some of them hold what not everyone is to see. */
  readonly category: string;
  /** What the names of their ClusterRoles begin with. Empty: with the name of the kind. */
  readonly rolePrefix: string;
}

export const WEBSHOP: KindGroup = { name: GROUP, category: 'webshop', rolePrefix: 'webshop' };
export const TRIGGERS: KindGroup = { name: TRIGGERS_GROUP, category: 'triggers', rolePrefix: 'harikube' };
export const TOPOLOGY: KindGroup = { name: TOPOLOGY_GROUP, category: 'topology', rolePrefix: '' };
