#!/usr/bin/env node
// What kubectl asks when a shell completes `kubectl harikube`.
process.argv.splice(2, 0, 'complete-kubectl-harikube');
import('./harikube.js');
