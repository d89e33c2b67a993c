export { userControllerManifests } from './manifests.js';
export { userControllerProgram } from './user-controller.js';
