// The smallest HTTP endpoint: POST a text, its continuation is streamed back.
// (`rene serve` is the full one: OpenAI's API, many requests in one batch.)
//
//   npm run build && node examples/dist/http_server.js [port]
//   curl -N -d "A glacier is" http://127.0.0.1:8080/
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import {
  GenerationAbortedError,
  ReneError,
  ReneLMHeadModel,
  streamText,
  Tokenizer,
} from '@rene-js/rene';

const [port = '8080'] = process.argv.slice(2);

const model = await ReneLMHeadModel.fromPretrained('rene-tiny');
const tokenizer = await Tokenizer.fromPretrained('rene-tiny');

const server = createServer(async (request, response) => {
  // A client that goes away ends its generation.
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const prompt = await text(request);
    const options = { maxNewTokens: 64, temperature: 0.8, signal: gone.signal };
    for await (const piece of streamText(model, tokenizer, prompt, options)) {
      response.write(piece);
    }
    response.end('\n');
  } catch (error) {
    if (error instanceof GenerationAbortedError) return;
    if (!response.headersSent) response.statusCode = error instanceof ReneError ? 400 : 500;
    response.end(error instanceof ReneError ? `${error.message}\n` : 'something went wrong\n');
  }
});
server.listen(Number(port), '127.0.0.1', () => {
  const address = server.address();
  const actual = typeof address === 'object' ? address?.port : port;
  console.log(`listening on http://127.0.0.1:${actual}/`);
});
process.once('SIGINT', () => server.close());
