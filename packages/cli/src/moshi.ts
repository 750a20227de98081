#!/usr/bin/env node
import { run } from './run';

void run(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
  // Output is flushed by now in all but the slowest pipes; whatever still holds the process open has nothing more to say.
  setTimeout(() => process.exit(), 2000).unref();
});
