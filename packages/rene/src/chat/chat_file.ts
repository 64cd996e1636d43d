// Chat files: a state file that also has the conversation.
import { CheckpointError } from '../errors.js';
import { asRecord, parseJson } from '../json.js';
import { readStateFile, type StoredState, writeStateFile } from '../state_file.js';
import type { StateOwner } from '../state_owner.js';
import type { ChatMessage } from './chat_template.js';
import type { Checkpoint } from './checkpoint.js';

/** The contents of a chat file. */
export interface StoredChat extends Pick<Checkpoint, 'text' | 'ids' | 'pending'> {
  readonly messages: readonly ChatMessage[];
  readonly stored: StoredState;
}

/** @param owner fingerprint of the model */
export async function writeChatFile(
  path: string | URL,
  messages: readonly ChatMessage[],
  { text, ids, pending, state }: Checkpoint,
  owner: string,
): Promise<void> {
  const chat = JSON.stringify({ messages, text, ids, pending });
  await writeStateFile(path, state, owner, { chat });
}

/**
 * @param owner the model
 * @throws CheckpointError if it is no chat file, GenerationError for the state of another model
 */
export async function readChatFile(path: string | URL, owner: StateOwner): Promise<StoredChat> {
  const { metadata, ...stored } = await readStateFile(path, owner);
  const free = () => {
    for (const layer of stored.layers) layer?.dispose();
  };
  const json = metadata.get('chat');
  if (json === undefined) {
    free();
    throw new CheckpointError(`${path}: expected a saved conversation, found a state without one`);
  }
  const chat = asRecord(parseJson(json)) ?? {};
  const messages: unknown[] = Array.isArray(chat.messages) ? chat.messages : [];
  const ids = wholeNumbers(chat.ids);
  const pending = wholeNumbers(chat.pending);
  const known = messages.flatMap((each) => {
    const message = asRecord(each);
    return typeof message?.role === 'string' ? [{ ...message, role: message.role }] : [];
  });
  const isWhole = known.length === messages.length && ids.length === stored.positions[0];
  if (!isWhole || typeof chat.text !== 'string') {
    free();
    throw new CheckpointError(`${path}: its conversation is damaged`);
  }
  return { messages: known, text: chat.text, ids, pending, stored };
}

function wholeNumbers(list: unknown): number[] {
  if (!Array.isArray(list)) return [];
  return list.filter((id: unknown) => typeof id === 'number' && Number.isInteger(id) && id >= 0);
}
