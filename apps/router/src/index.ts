export { runRouter } from './run-router.js';
