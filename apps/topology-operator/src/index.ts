export { configDocument, type ConfigDocument, referencesOf, UnresolvedReferenceError } from './config-document.js';
export { inDeployOrder, pinOf } from './deploy-order.js';
