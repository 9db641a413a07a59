// The npm client of OpenAI at its defaults: node openai_npm.mjs ADDRESS → sound on standard output.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none" });
const answer = await client.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "alloy", input: "ሰላም ለዓለም።" });
process.stdout.write(Buffer.from(await answer.arrayBuffer()));
