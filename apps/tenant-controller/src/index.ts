export { tenantControllerManifests } from './manifests.js';
export { tenantControllerProgram } from './tenant-controller.js';
