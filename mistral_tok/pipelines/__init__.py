"""From a text or a conversation to an answer: where the tokenizer and the model meet. PyTorch is imported when used."""

from mistral_tok.pipelines.prompts import OfficialPrompts, TemplatePrompts
from mistral_tok.pipelines.stream import EventStream
from mistral_tok.pipelines.text_generation import TextGenerationPipeline, pipeline

__all__ = ["EventStream", "OfficialPrompts", "TemplatePrompts", "TextGenerationPipeline", "pipeline"]
