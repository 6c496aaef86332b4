cd all; for f in home/*.safetensors open/*.safetensors; do ln -sf $f .; done
export PYTHONPATH=$PWD/src OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1
exec nice -n -8 .venv/bin/python -m dreamx train autoencoder --run.folder ae --run.steps 2800 --run.threads 1 --run.dtype bfloat16 --run.decay 0.5 --data all --out ae/model --vae.latent 24 --vae.encoder 32 64 128 --vae.decoder 48 96 160 --vae.blocks 1 2 2 --vae.hint --batch 4 --frames 9 --lr 1.5e-3
