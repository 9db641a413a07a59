// The Vercel AI SDK at its defaults: node vercel_ai.mjs ADDRESS FILE TEXT → mp3 in FILE.
import { writeFile } from "node:fs/promises";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateSpeech as generateSpeech } from "ai";

const [address, file, text] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: `${address}/v1`, apiKey: "none" });
const { audio } = await generateSpeech({ model: openai.speech("tts-1"), text });
await writeFile(file, audio.uint8Array);
console.log(JSON.stringify({ pieces: 1 }));
