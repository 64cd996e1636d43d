# Writes beam_search.json: results of transformers' beam search for a table of logits.
#
#   pip install torch transformers
#   python beam_search_reference.py > beam_search.json
import json

import torch
import transformers
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

VOCABULARY = 7
END = 6


class TableConfig(PretrainedConfig):
    model_type = "table"
    is_encoder_decoder = False
    vocab_size = VOCABULARY
    num_hidden_layers = 1
    hidden_size = 1
    num_attention_heads = 1


class TableModel(PreTrainedModel, GenerationMixin):
    """The next token's logits depend on the two tokens before it."""

    config_class = TableConfig

    def __init__(self, config, table):
        super().__init__(config)
        self.table = table
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask=None, **_):
        before = torch.nn.functional.pad(input_ids, (1, 0))[:, :-1]
        return CausalLMOutput(logits=self.table[before, input_ids])

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **_):
        return {"input_ids": input_ids}


def main():
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64)
    table = (table * 1.5).round(decimals=4)
    model = TableModel(TableConfig(), table)
    cases = []
    prompts = [[1], [2, 5, 0], [4, 4]]
    for index in range(66):
        options = {
            "num_beams": [2, 3, 4, 6][index % 4],
            "max_length": [5, 8, 12][index % 3],
            "length_penalty": [1.0, 0.0, 2.0, -1.0, 0.6][index % 5],
            "early_stopping": [False, True, "never"][(index // 4) % 3],
        }
        options["num_return_sequences"] = 1 + index % options["num_beams"]
        if index % 6 == 1:
            options["repetition_penalty"] = 1.4
        if index % 7 == 2:
            options["bad_words_ids"] = [[3], [0, 1]]
        if index % 8 == 3:
            options["min_new_tokens"] = 3
        prompt = prompts[index % len(prompts)]
        result = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            generation_config=GenerationConfig(
                eos_token_id=END,
                pad_token_id=-1,
                do_sample=False,
                use_cache=False,
                return_dict_in_generate=True,
                output_scores=True,
                **options,
            ),
        )
        sequences = [[id for id in row if id >= 0] for row in result.sequences.tolist()]
        scores = result.sequences_scores.tolist()
        if len({round(score, 4) for score in scores}) < len(scores):
            continue  # the order of equally likely sequences is nobody's
        cases.append(
            {
                "prompt": prompt,
                "options": options,
                "sequences": sequences,
                "scores": scores,
            }
        )
    print(
        json.dumps(
            {
                "transformers": transformers.__version__,
                "eos": END,
                "table": table.tolist(),
                "cases": cases,
            }
        )
    )


main()
