from train import make_encoder

from icefall_sampled.recipes import RecipeDecodeConfig, run_decoding

if __name__ == "__main__":
    config, about = RecipeDecodeConfig(avg=1), "Decode what train.py trained."
    run_decoding(config, corpus="x", sets=("dev",), description=about, make_encoder=make_encoder)
