export { routerManifests } from './manifests.js';
export { runRouter } from './run-router.js';
