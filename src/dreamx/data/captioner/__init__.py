"""Captions of real video: any vision model behind an OpenAI-compatible address looks at frames and answers in our schema."""
