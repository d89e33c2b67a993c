export { registrationControllerManifests } from './manifests.js';
export { registrationControllerProgram } from './registration-controller.js';
