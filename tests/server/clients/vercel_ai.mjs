// The Vercel AI SDK at its defaults: node vercel_ai.mjs ADDRESS → sound on standard output.
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateSpeech as generateSpeech } from "ai";

const openai = createOpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none" });
const { audio } = await generateSpeech({ model: openai.speech("tts-1"), text: "ሰላም ለዓለም።" });
process.stdout.write(Buffer.from(audio.uint8Array));
