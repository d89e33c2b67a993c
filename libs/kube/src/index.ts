export { type Clock, systemClock } from './clock.js';
export * from './informer.js';
export * from './informer-factory.js';
export * from './kube-client.js';
export * from './kube-object.js';
export * from './leader-elector.js';
export * from './resources.js';
export { ConnectionError, type Status, type StatusCause, type StatusDetails, StatusError } from './status-error.js';
