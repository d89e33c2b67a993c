export {};
export * from './topology/endpoint.js';
export type { Matcher } from './topology/key-rule.js';
export * from './topology/topology.js';
export * from './topology/topology-error.js';
export * from './topology/parse-topology.js';
