package catalogue

// table has a line for each model: name | vendor | kind | MiB of a GPU's memory, or cores of a processor, least-most | 10^9 int8 multiply-adds in a
// second, least-most | watts | USD an hour, a hint | patterns, ';' between them, with path.Match's wildcards | further names in Ray. No rate has been
// measured yet.
const table = `
# NVIDIA, datacentre
P4 | nvidia | gpu | 7372-8273 | 2750-12100 | 75 | 0.08 | tesla p4 | 
P40 | nvidia | gpu | 22118-24821 | 5875-25850 | 250 | 0.12 | tesla p40 | 
P100 | nvidia | gpu | 14745-16547 | 250-5500 | 250 | 0.12 | tesla p100 | 
V100-16G | nvidia | gpu | 14745-16547 | 7750-34100 | 300 | 0.18 | v100;tesla v100 | V100
V100-32G | nvidia | gpu | 29491-33095 | 7750-34100 | 300 | 0.25 | v100;tesla v100 | V100
T4 | nvidia | gpu | 14745-16547 | 4000-71500 | 70 | 0.15 | t4;tesla t4 | 
A2 | nvidia | gpu | 14745-16547 | 1125-19800 | 60 | 0.10 | a2 | 
A10 | nvidia | gpu | 22118-24821 | 7750-137500 | 150 | 0.30 | a10 | 
A10G | nvidia | gpu | 22118-24821 | 8750-77000 | 300 | 0.40 | a10g | 
A16 | nvidia | gpu | 14745-16547 | 1125-19800 | 250 | 0.12 | a16 | 
A30 | nvidia | gpu | 22118-24821 | 5000-181500 | 165 | 0.30 | a30 | 
A40 | nvidia | gpu | 44236-49643 | 9250-164450 | 300 | 0.40 | a40 | 
A100-40G | nvidia | gpu | 36864-41369 | 9750-343200 | 400 | 0.90 | a100 | A100
A100-80G | nvidia | gpu | 73728-82739 | 9750-343200 | 400 | 1.20 | a100 | A100
A800 | nvidia | gpu | 73728-82739 | 9750-343200 | 400 | 1.00 | a800 | 
L4 | nvidia | gpu | 22118-24821 | 7500-133100 | 72 | 0.40 | l4 | 
L40 | nvidia | gpu | 44236-49643 | 22500-199100 | 300 | 0.70 | l40 | 
L40S | nvidia | gpu | 44236-49643 | 23000-403150 | 350 | 0.80 | l40s | 
H100 | nvidia | gpu | 73728-82739 | 14000-1088450 | 700 | 2.20 | h100 | 
H100-94G | nvidia | gpu | 86630-97218 | 15000-1088450 | 700 | 2.30 | h100;h100 nvl | H100
H800 | nvidia | gpu | 73728-82739 | 14000-1088450 | 700 | 2.00 | h800 | 
H20 | nvidia | gpu | 88473-99287 | 10000-162800 | 400 | 1.30 | h20 | 
GH200 | nvidia | gpu | 88473-99287 | 16750-1088450 | 1000 | 1.60 | gh200 | 
H200 | nvidia | gpu | 129392-145207 | 15000-1088450 | 700 | 2.80 | h200 | 
B200 | nvidia | gpu | 165888-186163 | 19250-2475000 | 1000 | 4.00 | b200 | 
B300 | nvidia | gpu | 248832-279244 | 20000-181500 | 1400 | 5.00 | b300 | 
GB200 | nvidia | gpu | 170496-191334 | 19250-2750000 | 1200 | 4.50 | gb200 | 
# NVIDIA, GeForce
RTX-2060 | nvidia | gpu | 5529-6205 | 3250-56650 | 160 | 0.06 | rtx 2060 | 
RTX-2060-SUPER | nvidia | gpu | 7372-8273 | 3625-63250 | 175 | 0.07 | rtx 2060 super | 
RTX-2070 | nvidia | gpu | 7372-8273 | 3750-65450 | 175 | 0.08 | rtx 2070 | 
RTX-2070-SUPER | nvidia | gpu | 7372-8273 | 4500-79750 | 215 | 0.09 | rtx 2070 super | 
RTX-2080 | nvidia | gpu | 7372-8273 | 5000-88550 | 215 | 0.09 | rtx 2080 | 
RTX-2080-SUPER | nvidia | gpu | 7372-8273 | 5625-97900 | 250 | 0.10 | rtx 2080 super | 
RTX-2080-Ti | nvidia | gpu | 10137-11376 | 6750-118250 | 250 | 0.13 | rtx 2080 ti | 
RTX-3050 | nvidia | gpu | 7372-8273 | 2250-40150 | 130 | 0.06 | rtx 3050 | 
RTX-3060 | nvidia | gpu | 11059-12410 | 3250-56100 | 170 | 0.09 | rtx 3060 | 
RTX-3060-Ti | nvidia | gpu | 7372-8273 | 4000-71500 | 200 | 0.10 | rtx 3060 ti | 
RTX-3070 | nvidia | gpu | 7372-8273 | 5000-89650 | 220 | 0.11 | rtx 3070 | 
RTX-3070-Ti | nvidia | gpu | 7372-8273 | 5500-95700 | 290 | 0.12 | rtx 3070 ti | 
RTX-3080 | nvidia | gpu | 9216-10342 | 7500-130900 | 320 | 0.15 | rtx 3080 | 
RTX-3080-12G | nvidia | gpu | 11059-12410 | 7750-134750 | 350 | 0.15 | rtx 3080 | RTX-3080
RTX-3080-Ti | nvidia | gpu | 11059-12410 | 8500-150150 | 350 | 0.17 | rtx 3080 ti | 
RTX-3090 | nvidia | gpu | 22118-24821 | 9000-156200 | 350 | 0.20 | rtx 3090 | 
RTX-3090-Ti | nvidia | gpu | 22118-24821 | 10000-176000 | 450 | 0.24 | rtx 3090 ti | 
RTX-4060 | nvidia | gpu | 7372-8273 | 3750-66550 | 115 | 0.10 | rtx 4060 | 
RTX-4060-Ti | nvidia | gpu | 7372-8273 | 5500-96800 | 160 | 0.12 | rtx 4060 ti | 
RTX-4060-Ti-16G | nvidia | gpu | 14745-16547 | 5500-96800 | 165 | 0.15 | rtx 4060 ti | RTX-4060-Ti
RTX-4070 | nvidia | gpu | 11059-12410 | 7250-128150 | 200 | 0.17 | rtx 4070 | 
RTX-4070-SUPER | nvidia | gpu | 11059-12410 | 8750-156200 | 220 | 0.19 | rtx 4070 super | 
RTX-4070-Ti | nvidia | gpu | 11059-12410 | 10000-176550 | 285 | 0.21 | rtx 4070 ti | 
RTX-4070-Ti-SUPER | nvidia | gpu | 14745-16547 | 11000-194150 | 285 | 0.24 | rtx 4070 ti super | 
RTX-4080 | nvidia | gpu | 14745-16547 | 12250-214500 | 320 | 0.27 | rtx 4080 | 
RTX-4080-SUPER | nvidia | gpu | 14745-16547 | 13000-229900 | 320 | 0.28 | rtx 4080 super | 
RTX-4090 | nvidia | gpu | 22118-24821 | 20750-363550 | 450 | 0.38 | rtx 4090 | 
RTX-4090-D | nvidia | gpu | 22118-24821 | 18500-323400 | 425 | 0.35 | rtx 4090 d | 
RTX-5060 | nvidia | gpu | 7372-8273 | 4750-84700 | 145 | 0.12 | rtx 5060 | 
RTX-5060-Ti | nvidia | gpu | 7372-8273 | 6000-104500 | 180 | 0.14 | rtx 5060 ti | 
RTX-5060-Ti-16G | nvidia | gpu | 14745-16547 | 6000-104500 | 180 | 0.16 | rtx 5060 ti | RTX-5060-Ti
RTX-5070 | nvidia | gpu | 11059-12410 | 7750-135850 | 250 | 0.20 | rtx 5070 | 
RTX-5070-Ti | nvidia | gpu | 14745-16547 | 11000-193600 | 300 | 0.26 | rtx 5070 ti | 
RTX-5080 | nvidia | gpu | 14745-16547 | 14000-247500 | 360 | 0.33 | rtx 5080 | 
RTX-5090 | nvidia | gpu | 29491-33095 | 26250-460900 | 575 | 0.55 | rtx 5090 | 
RTX-5090-D | nvidia | gpu | 29491-33095 | 26250-460900 | 575 | 0.50 | rtx 5090 d | 
GTX-1060 | nvidia | gpu | 5406-6205 | 2200-9680 | 120 | 0.03 | gtx 1060 | 
GTX-1070 | nvidia | gpu | 7208-8273 | 3250-14300 | 150 | 0.04 | gtx 1070 | 
GTX-1070-Ti | nvidia | gpu | 7208-8273 | 4000-17600 | 180 | 0.04 | gtx 1070 ti | 
GTX-1080 | nvidia | gpu | 7208-8273 | 4500-19800 | 180 | 0.05 | gtx 1080 | 
GTX-1080-Ti | nvidia | gpu | 9912-11376 | 5650-24860 | 250 | 0.06 | gtx 1080 ti | 
GTX-1650 | nvidia | gpu | 3604-4136 | 1500-6600 | 75 | 0.03 | gtx 1650 | 
GTX-1660 | nvidia | gpu | 5406-6205 | 2500-11000 | 120 | 0.04 | gtx 1660 | 
GTX-1660-SUPER | nvidia | gpu | 5406-6205 | 2500-11000 | 125 | 0.04 | gtx 1660 super | 
GTX-1660-Ti | nvidia | gpu | 5406-6205 | 2750-12100 | 120 | 0.04 | gtx 1660 ti | 
# NVIDIA, laptops: other chips than the cards of the same number
RTX-3060-Laptop | nvidia | gpu | 5529-6205 | 2750-47300 | 115 | 0.07 | rtx 3060 laptop | 
RTX-3070-Laptop | nvidia | gpu | 7372-8273 | 4000-71500 | 125 | 0.09 | rtx 3070 laptop | 
RTX-3080-Laptop | nvidia | gpu | 14745-16547 | 4750-83600 | 150 | 0.12 | rtx 3080 laptop | 
RTX-4060-Laptop | nvidia | gpu | 7372-8273 | 3750-66000 | 115 | 0.09 | rtx 4060 laptop | 
RTX-4070-Laptop | nvidia | gpu | 7372-8273 | 4000-88000 | 115 | 0.11 | rtx 4070 laptop | 
RTX-4080-Laptop | nvidia | gpu | 11059-12410 | 6250-110000 | 150 | 0.17 | rtx 4080 laptop | 
RTX-4090-Laptop | nvidia | gpu | 14745-16547 | 8250-145200 | 150 | 0.22 | rtx 4090 laptop | 
RTX-5070-Laptop | nvidia | gpu | 7372-8273 | 5000-88000 | 115 | 0.13 | rtx 5070 laptop | 
RTX-5080-Laptop | nvidia | gpu | 14745-16547 | 7000-121000 | 150 | 0.22 | rtx 5080 laptop | 
RTX-5090-Laptop | nvidia | gpu | 22118-24821 | 10000-176000 | 150 | 0.30 | rtx 5090 laptop | 
# NVIDIA, workstations
Quadro-RTX-4000 | nvidia | gpu | 7372-8273 | 3500-31350 | 160 | 0.10 | quadro rtx 4000 | 
Quadro-RTX-5000 | nvidia | gpu | 14745-16547 | 5500-48950 | 230 | 0.14 | quadro rtx 5000 | 
Quadro-RTX-6000 | nvidia | gpu | 22118-24821 | 8125-143550 | 260 | 0.22 | quadro rtx 6000 | 
Quadro-RTX-8000 | nvidia | gpu | 44236-49643 | 8125-143550 | 260 | 0.30 | quadro rtx 8000 | 
RTX-A2000 | nvidia | gpu | 5529-6205 | 2000-35200 | 70 | 0.08 | rtx a2000 | 
RTX-A2000-12G | nvidia | gpu | 11059-12410 | 2000-35200 | 70 | 0.09 | rtx a2000 | 
RTX-A4000 | nvidia | gpu | 14745-16547 | 4750-84150 | 140 | 0.15 | rtx a4000 | 
RTX-A4500 | nvidia | gpu | 18432-20684 | 6000-103950 | 200 | 0.18 | rtx a4500 | 
RTX-A5000 | nvidia | gpu | 22118-24821 | 7000-122100 | 230 | 0.22 | rtx a5000 | 
RTX-A5500 | nvidia | gpu | 22118-24821 | 8500-150150 | 230 | 0.26 | rtx a5500 | 
RTX-A6000 | nvidia | gpu | 44236-49643 | 9750-170500 | 300 | 0.40 | rtx a6000 | 
RTX-4000-Ada | nvidia | gpu | 18432-20684 | 6750-117700 | 130 | 0.22 | rtx 4000 ada | 
RTX-4500-Ada | nvidia | gpu | 22118-24821 | 10000-174350 | 210 | 0.28 | rtx 4500 ada | 
RTX-5000-Ada | nvidia | gpu | 29491-33095 | 16250-287100 | 250 | 0.40 | rtx 5000 ada | 
RTX-6000-Ada | nvidia | gpu | 44236-49643 | 22750-400950 | 300 | 0.70 | rtx 6000 ada | 
RTX-PRO-6000 | nvidia | gpu | 88473-99287 | 31250-550000 | 600 | 1.00 | rtx pro 6000 blackwell;rtx pro 6000 blackwell max;rtx pro 6000 blackwell maxq | 
RTX-PRO-5000 | nvidia | gpu | 44236-49643 | 18250-324500 | 300 | 0.60 | rtx pro 5000 blackwell | 
RTX-PRO-4500 | nvidia | gpu | 29491-33095 | 13750-242000 | 200 | 0.40 | rtx pro 4500 blackwell | 
RTX-PRO-4000 | nvidia | gpu | 22118-24821 | 11750-209000 | 140 | 0.30 | rtx pro 4000 blackwell | 
# AMD. Ray's own name for an Instinct is AMD-Instinct-MI300X-OAM and the like
MI210 | amd | gpu | 58982-66191 | 4500-99550 | 300 | 0.60 | mi210 | 
MI250X | amd | gpu | 58982-66191 | 4800-105600 | 560 | 0.70 | mi250x;mi250 | AMD-Instinct-MI250X
MI300X | amd | gpu | 176947-198574 | 32500-1438250 | 750 | 2.00 | mi300x | AMD-Instinct-MI300X-OAM
MI325X | amd | gpu | 235929-264765 | 32500-1438250 | 1000 | 2.40 | mi325x | AMD-Instinct-MI325X-OAM
RX-6700-XT | amd | gpu | 11059-12410 | 1300-28600 | 230 | 0.09 | rx 6700 xt | 
RX-6800-XT | amd | gpu | 14745-16547 | 2050-45100 | 300 | 0.12 | rx 6800 xt | 
RX-6900-XT | amd | gpu | 14745-16547 | 2300-50600 | 300 | 0.13 | rx 6900 xt | 
RX-7800-XT | amd | gpu | 14745-16547 | 1850-41250 | 263 | 0.14 | rx 7800 xt | 
RX-7900-XT | amd | gpu | 18432-20684 | 2550-56650 | 315 | 0.18 | rx 7900 xt | 
RX-7900-XTX | amd | gpu | 22118-24821 | 3050-67650 | 355 | 0.22 | rx 7900 xtx | 
RX-9070-XT | amd | gpu | 14745-16547 | 4850-213950 | 304 | 0.20 | rx 9070 xt | 
W7900 | amd | gpu | 44236-49643 | 3050-67650 | 295 | 0.35 | pro w7900 | 
# Processors: most cores of a socket; rates of one thread; price of a core
# Apple. In a Linux VM on a Mac the chip does not say which it is, and is Apple-M
M1 | apple | cpu | 1-8 | 1-1000 | 30 | 0.010 | apple m1 | 
M1-Pro | apple | cpu | 1-10 | 1-1000 | 45 | 0.011 | apple m1 pro | 
M1-Max | apple | cpu | 1-10 | 1-1000 | 80 | 0.012 | apple m1 max | 
M1-Ultra | apple | cpu | 1-20 | 1-1000 | 160 | 0.013 | apple m1 ultra | 
M2 | apple | cpu | 1-8 | 1-1000 | 30 | 0.010 | apple m2 | 
M2-Pro | apple | cpu | 1-12 | 1-1000 | 45 | 0.011 | apple m2 pro | 
M2-Max | apple | cpu | 1-12 | 1-1000 | 80 | 0.012 | apple m2 max | 
M2-Ultra | apple | cpu | 1-24 | 1-1000 | 160 | 0.013 | apple m2 ultra | 
M3 | apple | cpu | 1-8 | 1-1000 | 30 | 0.010 | apple m3 | 
M3-Pro | apple | cpu | 1-12 | 1-1000 | 45 | 0.011 | apple m3 pro | 
M3-Max | apple | cpu | 1-16 | 1-1000 | 80 | 0.012 | apple m3 max | 
M3-Ultra | apple | cpu | 1-32 | 1-1000 | 160 | 0.013 | apple m3 ultra | 
M4 | apple | cpu | 1-10 | 1-1000 | 30 | 0.010 | apple m4 | 
M4-Pro | apple | cpu | 1-14 | 1-1000 | 45 | 0.011 | apple m4 pro | 
M4-Max | apple | cpu | 1-16 | 1-1000 | 80 | 0.012 | apple m4 max | 
M4-Ultra | apple | cpu | 1-32 | 1-1000 | 160 | 0.013 | apple m4 ultra | 
M5 | apple | cpu | 1-10 | 1-1000 | 30 | 0.010 | apple m5 | 
M5-Pro | apple | cpu | 1-18 | 1-1000 | 45 | 0.011 | apple m5 pro | 
M5-Max | apple | cpu | 1-18 | 1-1000 | 80 | 0.012 | apple m5 max | 
M5-Ultra | apple | cpu | 1-36 | 1-1000 | 160 | 0.013 | apple m5 ultra | 
Apple-M | apple | cpu | 1-36 | 1-1000 | 60 | 0.010 | apple silicon | 
# AMD
Ryzen-9-3000 | amd | cpu | 1-16 | 1-200 | 170 | 0.010 | ryzen 9 3???* | 
Ryzen-9-4000 | amd | cpu | 1-16 | 1-200 | 170 | 0.010 | ryzen 9 4???* | 
Ryzen-9-5000 | amd | cpu | 1-16 | 1-200 | 170 | 0.010 | ryzen 9 5???* | 
Ryzen-9-6000 | amd | cpu | 1-16 | 1-200 | 170 | 0.010 | ryzen 9 6???* | 
Ryzen-9-7000 | amd | cpu | 1-16 | 1-700 | 170 | 0.010 | ryzen 9 7???* | 
Ryzen-9-8000 | amd | cpu | 1-16 | 1-700 | 170 | 0.010 | ryzen 9 8???* | 
Ryzen-9-9000 | amd | cpu | 1-16 | 1-700 | 170 | 0.010 | ryzen 9 9???* | 
Ryzen-7-1000 | amd | cpu | 1-8 | 1-100 | 105 | 0.010 | ryzen 7 1???* | 
Ryzen-7-2000 | amd | cpu | 1-8 | 1-100 | 105 | 0.010 | ryzen 7 2???* | 
Ryzen-7-3000 | amd | cpu | 1-8 | 1-200 | 105 | 0.010 | ryzen 7 3???* | 
Ryzen-7-4000 | amd | cpu | 1-8 | 1-200 | 105 | 0.010 | ryzen 7 4???* | 
Ryzen-7-5000 | amd | cpu | 1-8 | 1-200 | 105 | 0.010 | ryzen 7 5???* | 
Ryzen-7-6000 | amd | cpu | 1-8 | 1-200 | 105 | 0.010 | ryzen 7 6???* | 
Ryzen-7-7000 | amd | cpu | 1-8 | 1-700 | 105 | 0.010 | ryzen 7 7???* | 
Ryzen-7-8000 | amd | cpu | 1-8 | 1-700 | 105 | 0.010 | ryzen 7 8???* | 
Ryzen-7-9000 | amd | cpu | 1-8 | 1-700 | 105 | 0.010 | ryzen 7 9???* | 
Ryzen-5-1000 | amd | cpu | 1-8 | 1-100 | 65 | 0.010 | ryzen 5 1???* | 
Ryzen-5-2000 | amd | cpu | 1-6 | 1-100 | 65 | 0.010 | ryzen 5 2???* | 
Ryzen-5-3000 | amd | cpu | 1-6 | 1-200 | 65 | 0.010 | ryzen 5 3???* | 
Ryzen-5-4000 | amd | cpu | 1-6 | 1-200 | 65 | 0.010 | ryzen 5 4???* | 
Ryzen-5-5000 | amd | cpu | 1-6 | 1-200 | 65 | 0.010 | ryzen 5 5???* | 
Ryzen-5-6000 | amd | cpu | 1-6 | 1-200 | 65 | 0.010 | ryzen 5 6???* | 
Ryzen-5-7000 | amd | cpu | 1-6 | 1-700 | 65 | 0.010 | ryzen 5 7???* | 
Ryzen-5-8000 | amd | cpu | 1-6 | 1-700 | 65 | 0.010 | ryzen 5 8???* | 
Ryzen-5-9000 | amd | cpu | 1-6 | 1-700 | 65 | 0.010 | ryzen 5 9???* | 
Ryzen-3-1000 | amd | cpu | 1-4 | 1-100 | 65 | 0.010 | ryzen 3 1???* | 
Ryzen-3-2000 | amd | cpu | 1-4 | 1-100 | 65 | 0.010 | ryzen 3 2???* | 
Ryzen-3-3000 | amd | cpu | 1-4 | 1-200 | 65 | 0.010 | ryzen 3 3???* | 
Ryzen-3-4000 | amd | cpu | 1-4 | 1-200 | 65 | 0.010 | ryzen 3 4???* | 
Ryzen-3-5000 | amd | cpu | 1-4 | 1-200 | 65 | 0.010 | ryzen 3 5???* | 
Ryzen-3-6000 | amd | cpu | 1-4 | 1-200 | 65 | 0.010 | ryzen 3 6???* | 
Ryzen-3-7000 | amd | cpu | 1-4 | 1-700 | 65 | 0.010 | ryzen 3 7???* | 
Ryzen-3-8000 | amd | cpu | 1-4 | 1-700 | 65 | 0.010 | ryzen 3 8???* | 
Ryzen-3-9000 | amd | cpu | 1-4 | 1-700 | 65 | 0.010 | ryzen 3 9???* | 
Ryzen-AI | amd | cpu | 1-16 | 1-700 | 55 | 0.010 | ryzen ai;ryzen ai max | 
Ryzen-Threadripper | amd | cpu | 1-96 | 1-700 | 350 | 0.010 | ryzen threadripper | 
EPYC-7001 | amd | cpu | 1-32 | 1-100 | 280 | 0.012 | epyc 7??1 | 
EPYC-7002 | amd | cpu | 1-64 | 1-200 | 280 | 0.012 | epyc 7??2;epyc 7h?2;epyc rome | 
EPYC-7003 | amd | cpu | 1-64 | 1-200 | 280 | 0.012 | epyc 7??3;epyc 7??3x;epyc milan | 
EPYC-9004 | amd | cpu | 1-128 | 1-700 | 280 | 0.012 | epyc 9??4;epyc 9??4?;epyc genoa | 
EPYC-9005 | amd | cpu | 1-192 | 1-700 | 280 | 0.012 | epyc 9??5;epyc 9??5?;epyc turin | 
EPYC | amd | cpu | 1-192 | 1-700 | 280 | 0.012 | epyc | 
# Intel
Xeon | intel | cpu | 1-288 | 1-700 | 270 | 0.012 | xeon | 
Core-i3 | intel | cpu | 1-24 | 1-700 | 125 | 0.010 | core i3 | 
Core-i5 | intel | cpu | 1-24 | 1-700 | 125 | 0.010 | core i5 | 
Core-i7 | intel | cpu | 1-24 | 1-700 | 125 | 0.010 | core i7 | 
Core-i9 | intel | cpu | 1-24 | 1-700 | 125 | 0.010 | core i9 | 
Core-Ultra-5 | intel | cpu | 1-24 | 1-400 | 125 | 0.010 | core ultra 5 | 
Core-Ultra-7 | intel | cpu | 1-24 | 1-400 | 125 | 0.010 | core ultra 7 | 
Core-Ultra-9 | intel | cpu | 1-24 | 1-400 | 125 | 0.010 | core ultra 9 | 
# Arm, by the names that the part numbers stand for
Neoverse-N1 | arm | cpu | 1-192 | 1-300 | 250 | 0.010 | neoverse n1 | 
Neoverse-V1 | arm | cpu | 1-64 | 1-300 | 250 | 0.010 | neoverse v1 | 
Neoverse-N2 | arm | cpu | 1-128 | 1-300 | 250 | 0.010 | neoverse n2 | 
Neoverse-V2 | arm | cpu | 1-144 | 1-300 | 300 | 0.010 | neoverse v2 | 
Neoverse-N3 | arm | cpu | 1-256 | 1-300 | 300 | 0.010 | neoverse n3 | 
Neoverse-V3 | arm | cpu | 1-192 | 1-300 | 400 | 0.010 | neoverse v3 | 
Cortex-A53 | arm | cpu | 1-16 | 1-300 | 10 | 0.004 | cortex a53 | 
Cortex-A55 | arm | cpu | 1-16 | 1-300 | 10 | 0.004 | cortex a55 | 
Cortex-A72 | arm | cpu | 1-64 | 1-300 | 20 | 0.004 | cortex a72 | 
Cortex-A76 | arm | cpu | 1-16 | 1-300 | 20 | 0.004 | cortex a76 | 
Cortex-A78 | arm | cpu | 1-64 | 1-300 | 30 | 0.004 | cortex a78 | 
Ampere-1 | ampere | cpu | 1-192 | 1-300 | 350 | 0.010 | ampere 1;ampere 1a | 
`
