// The npm client of OpenAI at its defaults: node openai_npm.mjs ADDRESS FILE TEXT → mp3 in FILE.
import { writeFile } from "node:fs/promises";
import OpenAI from "openai";

const [address, file, text] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none" });
const answer = await client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "alloy", input: text });
const pieces = [];
for await (const piece of answer.body) pieces.push(piece);
await writeFile(file, Buffer.concat(pieces));
console.log(JSON.stringify({ pieces: pieces.length }));
