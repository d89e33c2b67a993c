export { apiServerProgram } from './api-server.js';
export { apiServerHostName, apiServerManifests, type ApiServerManifestsOptions } from './manifests.js';
