#!/usr/bin/env node
// `kubectl harikube`: kubectl starts the program of this name that it finds on PATH.
process.argv.splice(2, 0, 'kubectl-harikube');
import('./harikube.js');
