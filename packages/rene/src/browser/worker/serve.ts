// Connects a worker's global scope with its model.
import { listen, type Port, type Request } from '../messages.js';
import { Answer } from './answer.js';
import { ModelHost } from './model_host.js';

/** Answers the calls that arrive in a worker's scope, and tells the page that it runs. */
export function serve(scope: object & Pick<Port, 'postMessage'>): void {
  const host = new ModelHost();
  listen<{ request: Request; port: Port }>(scope, ({ request, port }) => {
    void host.handle(request, new Answer(port));
  });
  scope.postMessage('started');
}
