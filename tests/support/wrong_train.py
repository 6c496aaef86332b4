"""Wrong inputs of ``dreamx train``, as in ``wrong_data``."""

WRONG = """
train
    dog                                     | dog
train autoencoder
    --run.folder new                        | --run.steps
train autoencoder --run.folder new --run.steps 1 --data clips --out new-out
    --batch 0                               | batch
    --batch -1                              | batch
    --batch two                             | --batch
    --lr -1                                 | lr
    --lr 0                                  | lr
    --lr nan                                | lr
    --lr inf                                | lr
    --frames 8                              | frames
    --frames 0                              | frames
    --frames 801                            | frames
    --noise -1                              | noise
    --edges -1                              | edges
    --depth -1                              | depth
    --hints 2                               | hints
    --sheet-every 0                         | sheet
    --run.steps 0                           | steps
    --run.steps -5                          | steps
    --run.seed -1                           | seed
    --run.threads 0                         | threads
    --run.threads 1000000                   | threads
    --run.warmup 2                          | warmup
    --run.decay -1                          | decay
    --run.floor nan                         | floor
    --run.betas 0.9                         | betas
    --run.betas 0.9 1                       | betas
    --run.clip 0                            | clip
    --run.ema 1                             | ema
    --run.save-seconds -1                   | save
    --run.save-steps 0                      | save
    --run.log-every 0                       | log
    --run.weight-decay -1                   | weight
    --run.folder notes.txt                  | notes.txt
    --run.folder ''                         | --run.folder
    --out notes.txt                         | notes.txt
    --data nowhere                          | nowhere
    --data notes.txt                        | notes.txt
    --data empty                            | empty
    --data damaged                          | damaged
    --start nowhere                         | nowhere
    --start notes.txt                       | notes.txt
    --start empty                           | empty
    --vae.blocks 1                          | blocks, encoder
    --vae.near 0                            | near
    --vae.latent 0                          | latent
    --vae.patch 0                           | patch
    --steps 3                               | --run.steps
    --learning-rate 3                       | --learning-rate
train decoder --run.folder new --run.steps 1 --data clips --start vae --out new-out
    --batch 0                               | batch
    --lr -1                                 | lr
    --critic-lr -1                          | critic
    --critic-lr nan                         | critic
    --critic 0                              | critic
    --frames 6                              | frames
    --alone -1                              | alone
    --fool -1                               | fool
    --sheet-every 0                         | sheet
    --start nowhere                         | nowhere
    --start notes.txt                       | notes.txt
    --start empty                           | empty
    --data empty                            | empty
    --out notes.txt                         | notes.txt
train camera --run.folder new --run.steps 1 --data latents.safetensors --out new-out --start world \
--dit.channels 8 --dit.width 48 --dit.heads 2 --dit.layers 1 --dit.mlp 96 --dit.text 16
    --batch 0                               | batch
    --lr -1                                 | lr
    --shift 0                               | shift
    --shift -5                              | shift
    --drop-text 1.5                         | drop
    --drop-first -0.1                       | drop
    --drop-hint nan                         | drop
    --frames 0                              | frames
    --frames 1000                           | frames
    --data nowhere                          | nowhere
    --data clips                            | clips
    --data notes.txt                        | notes.txt
    --data damaged/broken.safetensors       | broken.safetensors
    --start empty                           | empty
    --start notes.txt                       | notes.txt
    --train nothing                         | nothing
    --out notes.txt                         | notes.txt
    --run.threads 0                         | threads
train camera --run.folder new --run.steps 1 --data latents.safetensors --out new-out \
--dit.channels 8 --dit.width 48 --dit.heads 2 --dit.layers 1 --dit.mlp 96 --dit.text 16 --text.width 16
    --dit.heads 5                           | heads
    --dit.heads 0                           | heads
    --dit.width 0                           | width
    --dit.layers -1                         | layers
    --dit.patch 0                           | patch
    --dit.channels 7                        | channels
    --text.width 8                          | text
train causal --run.folder new --run.steps 1 --data latents.safetensors --from world --out new-out
    --lr -1                                 | lr
    --teaching.batch 0                      | batch
    --teaching.chunk 0                      | chunk
    --teaching.shift nan                    | shift
    --teaching.drop-text 2                  | drop
    --teaching.windows 0 0                  | windows
    --frames 0                              | frames
    --data nowhere                          | nowhere
    --data damaged/broken.safetensors       | broken.safetensors
    --start nowhere                         | nowhere
    --start film.mp4                        | film.mp4
train causal --run.folder begun --run.steps 1 --run.threads 1 --data latents.safetensors --from world --out begun-out
    --lr 0.5                                | lr
    --teaching.batch 3                      | batch
    --run.seed 5                            | seed
    --out set                               | set
    --out world                             | world
    --run.folder clips                      | clips
train memory --run.folder new --run.steps 1 --data latents.safetensors --from world --out new-out
    --packing.batch 0                       | batch
    --packing.drop-memory 2                 | drop
    --packing.windows 2 2                   | windows
    --packed.frames 0                       | frames
    --packed.least 0                        | least
    --packed.gaps.log 8 --packed.gaps.ntk   | gaps
    --frames 99                             | frames
    --data nowhere                          | nowhere
    --start nowhere                         | nowhere
train finetune --run.folder new --run.steps 1 --data latents.safetensors --world world --out new-out
    --world nowhere                         | nowhere
    --world notes.txt                       | notes.txt
    --world empty                           | empty
    --world damaged                         | damaged
    --world model.safetensors               | model.safetensors
    --data nowhere                          | nowhere
    --data notes.txt                        | notes.txt
    --data damaged                          | damaged
    --world tiny                            | autoencoder
    --vae nowhere                           | nowhere
    --vae vae                               | vae
    --kind dog                              | kind
    --kind causal                           | kind
    --train dog                             | train
    --train lora --lora.rank 0              | rank
    --lora.rank 4                           | lora
    --train lora --lora.alpha 0             | alpha
    --train lora --lora.layers dog          | dog
    --train lora --lora.names dog           | names
    --train lora --layout official          | layout
    --layout official                       | layout
    --layout dog                            | layout
    --batch 0                               | batch
    --accumulate 3                          | batch
    --frames 0                              | frames
    --frames 99                             | frames
    --lr 0                                  | lr
    --shift 0                               | shift
    --history-noise 2                       | history
    --drop-text 2                           | drop
    --run.dtype float16                     | dtype
    --out world                             | world
    --out notes.txt                         | notes.txt
    --run.folder world                      | world
train consistency --run.folder new --run.steps 1 --data latents.safetensors --start world --out new-out
    --lr 0                                  | lr
    --lattice 0                             | lattice
    --lattice 1                             | lattice
    --teaching.history-noise -1             | noise
    --data empty                            | empty
    --start empty                           | empty
    --run.steps many                        | --run.steps
train events --run.folder new --run.steps 1 --data latents.safetensors --start world --out new-out
    --lr 0                                  | lr
    --share 2                               | share
    --teaching.changed -1                   | changed
    --data empty                            | empty
    --plain empty                           | empty
    --data latents.safetensors              | data
train places --run.folder new --run.steps 1 --data clips --out new-out --places.names room --places.half 8
    --lr 0                                  | lr
    --batch 0                               | batch
    --shaped 0                              | shaped
    --shaped 9000                           | shaped
    --places.names                          | names
    --places.names a a                      | names
    --places.names nowhere                  | places.names
    --places.cells 1                        | cells
    --places.cells 9999                     | cells
    --places.layers 1                       | layers
    --places.levels                         | levels
    --places.levels 1                       | levels
    --places.samples 1                      | samples
    --places.entries 1                      | entries
    --places.sky 1 8                        | sky
    --places.far 0.1                        | far
    --places.half -1                        | half
    --places.half 8 8                       | half
    --places.entries 1000                   | entries
    --start empty                           | empty
    --data nowhere                          | nowhere
    --data empty                            | empty
train depth --run.folder new --run.steps 1 --data clips --out new-out
    --batch 0                               | batch
    --lr -1                                 | lr
    --edges -1                              | edges
    --vary nan                              | vary
    --sheet-every 0                         | sheet
    --depth.widths 32                       | blocks, widths
    --depth.heads 0                         | heads
    --depth.near 0                          | near
    --data                                  | data
    --data empty                            | empty
    --data nowhere                          | nowhere
    --data clips empty                      | empty
    --data notes.txt                        | notes.txt
    --run.folder clips                      | clips
    --out notes.txt                         | notes.txt
train pose --run.folder new --run.steps 1 --data clips --out new-out
    --batch 0                               | batch
    --lr -1                                 | lr
    --most 0                                | most
    --most -1                               | most
    --first-seed -1                         | seed
    --first-seed 900 --end-seed 800         | seed
    --end-seed 2000000                      | seed
    --vary -1                               | vary
    --depth.widths 32                       | blocks, widths
    --depth.heads 0                         | heads
    --data empty                            | empty
    --data nowhere                          | nowhere
    --out notes.txt                         | notes.txt
train features --run.folder new --run.steps 1 --data empty --out new-out
                                            | empty
    --end-seed 0                            | end_seed
    --batch 0                               | batch
    --corrupt 2                             | corrupt
    --features.widths 16 16 16 17           | widths
    --features.blocks 1                     | blocks
    --data nowhere                          | nowhere
    --run.folder empty --out film.mp4       | film.mp4
train classifier --run.folder new --run.steps 1 --data clips --out new-out
    --batch 0                               | batch
    --lr -1                                 | lr
    --others -1                             | others
    --spoil 2                               | spoil
    --end-seed 0                            | seed
    --classifier.kinds                      | kinds
    --classifier.widths 0 0 0               | widths
    --data nowhere                          | nowhere
    --data empty                            | empty
    --data clips                            | clips
train curriculum --out new --scale micro
    --threads 0                             | threads
    --threads -2                            | threads
    --scale huge                            | --scale
    --stage supper                          | supper
    --out notes.txt                         | notes.txt
    --set causal                            | causal
    --set supper.run.steps=1                | supper
    --set causal.run.stops=1                | stops
    --set causal.run.steps=0                | steps
    --scale w5b                             | w5b
train curriculum --dry-run --scale micro
    --gpus 0                                | gpus
    --gpu H9000                             | --gpu
    --utilisation 0                         | utilisation
    --utilisation 1.5                       | utilisation
    --stage supper                          | supper
    --set causal.teaching.batch=many        | batch
train curriculum
                                            | --out
    --scale micro                           | --out
world
    asemble                                 | asemble
world assemble --vae world --dit world --views 0 --size 32 32 --out new
    --vae nowhere                           | nowhere
    --vae empty                             | empty
    --dit clips                             | clips
    --depth world                           | depth
    --places world                          | places
    --painter nowhere                       | nowhere
    --size 32                               | --size
    --size 33 32                            | size
    --size 0 32                             | size
    --like nowhere                          | nowhere
    --views 3                               | views
    --views -1                              | views
    --fov 0                                 | fov
    --set sampler                           | sampler
    --set sampler.steps=0                   | steps
    --seen notes.txt                        | seen
    --happenings notes.txt                  | notes.txt
    --happenings nowhere.json               | nowhere.json
    --out notes.txt                         | notes.txt
    --out world                             | world
"""
