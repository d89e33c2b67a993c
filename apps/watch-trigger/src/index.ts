export { watchTriggerManifests } from './manifests.js';
export { watchTriggerProgram } from './watch-trigger.js';
